import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { json } from "node:stream/consumers";

// An admission webhook that runs in a pod: node admission-webhook.ts <folder with tls.crt and tls.key> <port>.
// It lets objects pass whose data has the key "ok", and greets whoever asks it for anything else.

interface Review {
  readonly request: { readonly uid: string; readonly object: { readonly data?: Readonly<Record<string, string>> } };
}

const [folder = "", port = ""] = process.argv.slice(2);
const pair = { cert: readFileSync(`${folder}/tls.crt`), key: readFileSync(`${folder}/tls.key`) };

function answer({ request: { uid, object } }: Review): object {
  const allowed = object.data?.["ok"] !== undefined;
  const response = { uid, allowed, status: { message: "it is not ok" } };
  return { apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", response };
}

createServer(pair, (request, response) => {
  if (request.method !== "POST") return void response.end("hello from the webhook");
  json(request).then(
    (review) => response.setHeader("content-type", "application/json").end(JSON.stringify(answer(review as Review))),
    () => response.writeHead(400).end(),
  );
}).listen(Number(port));
