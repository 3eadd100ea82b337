import { deadline, retry } from "@k3s/async";
import { acquireLock, LockHeldError, type Lock } from "@k3s/files";

export interface LockWait {
  /** How long to wait for the holder, in milliseconds. */
  readonly limitMs: number;
  /** Told once, when somebody else holds the lock; `owner` is usually a process id. */
  readonly onWait: (owner: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** Takes the lock as soon as its holder gives it back. Rejects with LockHeldError when that takes too long. */
export async function waitForLock(path: string, { limitMs, onWait, signal }: LockWait): Promise<Lock> {
  using limit = deadline(limitMs, `Waiting for the lock "${path}"`, signal);
  const policy = {
    delayMinMs: 20,
    delayMaxMs: 500,
    isRetryable: (error: unknown) => error instanceof LockHeldError,
    onRetry: (error: unknown, attempt: number) => {
      if (attempt === 1 && error instanceof LockHeldError) onWait(error.owner);
    },
  };
  return await retry(() => acquireLock(path), policy, limit);
}
