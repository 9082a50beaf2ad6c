// What a screen reader is told when something changes on its own.

export function announce(sentence) {
  const node = document.getElementById("announcer");
  node.textContent = "";
  setTimeout(() => { node.textContent = sentence; }, 60);
}
