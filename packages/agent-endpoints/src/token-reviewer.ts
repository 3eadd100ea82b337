import { createHmac, randomBytes } from "node:crypto";
import { deadline } from "@k3s/async";
import type { KubeClient } from "@k3s/kube-client";
import { AddressTurns, type Identity, type TokenCheck } from "@k3s/supervisor-api";

interface TokenReview {
  readonly status?: {
    readonly authenticated?: boolean;
    readonly user?: { readonly username?: string; readonly groups?: readonly string[] };
  };
}

interface Remembered {
  readonly identity: Identity | undefined;
  readonly untilMs: number;
}

const REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews";
const REVIEW_LIMIT_MS = 10_000;
/** Strangers may ask as well: what is asked of kube-apiserver for them is bounded, and keeps nobody waiting who comes from elsewhere. */
const TURNS = { placesMax: 8, placesEachMax: 2, waitingMax: 256, waitMs: 10_000 };
/** As long as kube-apiserver itself remembers a token. */
const REMEMBER_MS = 10_000;
const REMEMBERED_MAX = 1024;

/** Asks kube-apiserver whose a bearer token is: bootstrap tokens and service accounts are its to know. */
export class TokenReviewer implements TokenCheck {
  readonly #client: () => KubeClient;
  readonly #digestKey = randomBytes(32);
  readonly #turns = new AddressTurns(TURNS);
  /** Apart, so that made-up tokens push no real one out. */
  readonly #known = new Map<string, Remembered>();
  readonly #strangers = new Map<string, Remembered>();

  constructor(client: () => KubeClient) {
    this.#client = client;
  }

  async check(token: string, remoteAddress: string): Promise<Identity | "busy" | undefined> {
    const digest = createHmac("sha256", this.#digestKey).update(token).digest("base64");
    const remembered = this.#known.get(digest) ?? this.#strangers.get(digest);
    if (remembered !== undefined && performance.now() < remembered.untilMs) return remembered.identity;
    const leave = await this.#turns.enter(remoteAddress);
    if (leave === undefined) return "busy";
    try {
      return this.#remember(digest, await this.#review(token));
    } finally {
      leave();
    }
  }

  #remember(digest: string, identity: Identity | undefined): Identity | undefined {
    const [place, other] = identity === undefined ? [this.#strangers, this.#known] : [this.#known, this.#strangers];
    other.delete(digest);
    if (place.size >= REMEMBERED_MAX) place.clear();
    place.set(digest, { identity, untilMs: performance.now() + REMEMBER_MS });
    return identity;
  }

  async #review(token: string): Promise<Identity | undefined> {
    using limit = deadline(REVIEW_LIMIT_MS, "Asking kube-apiserver for a token");
    const request = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token } };
    const { status } = (await this.#client().create(REVIEWS, request, limit)) as TokenReview;
    const name = status?.user?.username ?? "";
    return status?.authenticated === true && name !== "" ? { name, groups: status.user?.groups ?? [] } : undefined;
  }
}
