import type { ChildAnswer } from "./child.ts";

/** The child's end of `Child`: says the greeting, then answers each question; `end` runs when the parent lets go. */
export function answerQuestions(
  greeting: string,
  answer: (question: unknown) => Promise<unknown>,
  end: () => Promise<void> = () => Promise.resolve(),
): void {
  const send = (message: ChildAnswer<unknown>) => process.send?.(message);
  process.on("message", (question) => {
    answer(question).then(
      (value) => send({ value }),
      (error: unknown) => send({ failure: error instanceof Error ? error.message : String(error) }),
    );
  });
  process.once("disconnect", () => void end());
  send({ value: greeting });
}
