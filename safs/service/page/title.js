// The title of the tab.

export function title(text) {
  const whole = text ? `${text} · safs` : "safs";
  if (document.title !== whole) document.title = whole;
}
