/** Whether a stream failed only since what it was connected to had gone. */
export function isClosedPipe(error: unknown): boolean {
  return (
    error instanceof Error && "code" in error && (error.code === "EPIPE" || error.code === "ERR_STREAM_PREMATURE_CLOSE")
  );
}
