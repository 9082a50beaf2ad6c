// An assignment in a few words.

/** Operators with how often each is used, the most used first. */
export function inShort(assignment) {
  const counts = new Map();
  for (const operator of assignment) counts.set(operator, (counts.get(operator) ?? 0) + 1);
  const sorted = [...counts].sort((a, b) => b[1] - a[1]);
  const first = sorted.slice(0, 4).map(([operator, count]) => (count > 1 ? `${operator} ×${count}` : operator));
  return first.join(", ") + (sorted.length > 4 ? ` and ${sorted.length - 4} more` : "");
}
