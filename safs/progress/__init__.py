"""How far a study is: its phases, what is counted, the time left, and all that in plain lines."""
