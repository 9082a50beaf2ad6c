// Where the page begins.

import * as router from "./router.js";
import * as signIn from "./sign_in.js";
import * as token from "./token.js";
import * as who from "./who.js";

const main = document.getElementById("main");
const skip = document.getElementById("skip");

// The fragment is the route here, so the link moves the focus itself.
skip.addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

token.takeFromAddress();
signIn.install();
who.install(document.getElementById("who"));
router.install(main, document.getElementById("nav"));
