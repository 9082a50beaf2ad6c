"""The config of a study: `schema` is what it may hold, `yaml_input` reads it, `wording` says what is wrong with it."""
