// The names of states, phases and baselines, as people read them.

const STATES = { QUEUED: "Queued", RUNNING: "Running", SUCCEEDED: "Succeeded", FAILED: "Failed", CANCELED: "Canceled" };

const REASONS = {
  OOM: "out of memory",
  TIMEOUT: "out of time",
  DISK: "out of disk",
  LOST: "its worker was lost",
  ERROR: "error",
};

const PHASES = {
  dense: "Dense training",
  prune: "Pruning",
  uniform: "Stage 1, one operator everywhere",
  stage1: "Stage 1, search",
  finalists: "Stage 1, finalists",
  safs: "Stage 2, found operators",
  stage2: "Stage 2, original operators",
  final: "Final rows",
  test: "Test",
};

const ROWS = {
  dense: ["dense", "before pruning"],
  pruned: ["pruned", "without fine-tuning"],
  vanilla: ["vanilla", "fine-tuned, original operators"],
  srelu: ["SReLU", "four learned parameters per channel"],
  best_single: ["best single", "one operator everywhere"],
  stage1: ["stage 1", "operators only"],
  stage2: ["stage 2", "hyperparameters only"],
  safs: ["SAFS", "both stages"],
};

export const ALL_STATES = Object.keys(STATES);
export const ALL_ROWS = Object.keys(ROWS);

export const stateWord = (state) => STATES[state] ?? String(state);
export const phaseWord = (phase) => PHASES[phase] ?? String(phase ?? "");
export const rowWords = (name) => ROWS[name] ?? [String(name), ""];

export const hasEnded = (study) => ["SUCCEEDED", "FAILED", "CANCELED"].includes(study.state);
export const mayCancel = (study) => ["QUEUED", "RUNNING"].includes(study.state) && !study.cancelling;
export const mayResume = (study) => ["FAILED", "CANCELED"].includes(study.state);
export const mayDelete = hasEnded;

/** "Running", "Cancelling", "Failed: out of memory". */
export function stateSentence(study) {
  if (study.cancelling && !hasEnded(study)) return "Cancelling";
  if (study.state === "FAILED" && study.reason) return `Failed: ${REASONS[study.reason] ?? study.reason}`;
  return stateWord(study.state);
}
