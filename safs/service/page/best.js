// The best trial of stage 1.

/** Whether it has a cost that counts. */
export const isValid = (trial) => typeof trial.cost === "number" && trial.status !== "FAILED";

/** The one with the lowest cost, the first of equal ones; null if none has one. */
export function bestOf(trials) {
  return trials.filter(isValid).reduce((best, trial) => (best && best.cost <= trial.cost ? best : trial), null);
}
