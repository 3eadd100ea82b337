/** What is answered to a plain HTTP request. */
export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

export function jsonAnswer(status: number, body: unknown): HttpAnswer {
  return { status, contentType: "application/json", body: JSON.stringify(body) };
}

export function textAnswer(status: number, body: string): HttpAnswer {
  return { status, contentType: "text/plain; charset=utf-8", body };
}
