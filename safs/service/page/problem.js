// An answer that is no success, as an Error with the server's sentence.

export class Problem extends Error {
  constructor(status, sentence, field = null) {
    super(sentence);
    this.name = "Problem";
    this.status = status;
    this.field = field;
  }
}

/** The Problem that the text of an answer tells; an unreadable one is told by its status. */
export function readProblem(status, text) {
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {
    // A proxy's page, say.
  }
  const sentence = typeof body?.detail === "string" && body.detail ? body.detail : `The server answered ${status}.`;
  return new Problem(status, sentence, typeof body?.field === "string" ? body.field : null);
}

export const unreachable = () => new Problem(0, "The server cannot be reached.");
