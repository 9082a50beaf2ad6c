// An artifact as a file of the browser. It is fetched with the token in a header, so no address holds one.

import * as api from "./api.js";

export async function download(id, path) {
  const answer = await api.call(api.artifactPath(id, path));
  const url = URL.createObjectURL(await answer.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = path.split("/").pop();
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
