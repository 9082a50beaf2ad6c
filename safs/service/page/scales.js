// Numbers to pixels, and the ticks of an axis.

/** A linear scale from [low, high] to [from, to]. */
export function linear(low, high, from, to) {
  const span = high - low || 1;
  return (value) => from + ((value - low) / span) * (to - from);
}

/** A logarithmic one; `low` and `high` are positive. */
export function logarithmic(low, high, from, to) {
  const scale = linear(Math.log10(low), Math.log10(high), from, to);
  return (value) => scale(Math.log10(value));
}

/** About `count` round numbers in [low, high]. */
export function ticks(low, high, count) {
  const span = high - low;
  if (!(span > 0)) return [low];
  const rough = span / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) found.push(Number((k * step).toPrecision(12)));
  return found;
}

/** Powers of ten in [low, high], with 2 and 5 times them where they are few. */
export function powers(low, high) {
  const found = (factors) => {
    const list = [];
    for (let k = Math.floor(Math.log10(low)) - 1; k <= Math.ceil(Math.log10(high)); k += 1) {
      for (const factor of factors) {
        const value = Number((factor * 10 ** k).toPrecision(3));
        if (value >= low * 0.999 && value <= high * 1.001) list.push(value);
      }
    }
    return list;
  };
  const tens = found([1]);
  return tens.length >= 2 ? tens : found([1, 2, 5]);
}
