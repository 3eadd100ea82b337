import { isLive, type Key, type Version } from "./version.ts";
import type { Interval } from "./key-range.ts";

const WIDTH = 64;

/** `live` counts the keys below that exist at their newest version: what makes counting a range O(log n). */
interface Leaf {
  readonly kind: "leaf";
  live: number;
  items: Version[];
}
interface Inner {
  readonly kind: "inner";
  live: number;
  children: Node[];
  /** `bounds[i]` is not above any key of `children[i]` and above every key before it. `bounds[0]` is not read. */
  bounds: Key[];
}
type Node = Leaf | Inner;
type Split = { readonly bound: Key; readonly right: Node } | undefined;

/** The newest version of each key, ordered by bytes: a B+tree with counts. */
export class KeyTree {
  #root: Node = { kind: "leaf", live: 0, items: [] };

  get(key: Key): Version | undefined {
    let node = this.#root;
    while (node.kind === "inner") node = childAt(node, childIndex(node, key));
    const item = node.items[itemIndex(node, key)];
    return item?.key === key ? item : undefined;
  }

  /** Makes `version` the newest of its key. */
  set(version: Version): void {
    const split = put(this.#root, version, { delta: 0 });
    if (split === undefined) return;
    const live = this.#root.live + split.right.live;
    this.#root = { kind: "inner", live, children: [this.#root, split.right], bounds: ["", split.bound] };
  }

  /** Forgets a key; the key must be there. */
  delete(key: Key): void {
    remove(this.#root, key, -liveness(this.get(key)));
    while (this.#root.kind === "inner" && this.#root.children.length === 1) this.#root = childAt(this.#root, 0);
    if (this.#root.kind === "inner" && this.#root.children.length === 0)
      this.#root = { kind: "leaf", live: 0, items: [] };
  }

  /** Keys of the interval whose newest version is not a tombstone. */
  countLive({ from, to }: Interval): number {
    const upper = to === undefined ? this.#root.live : this.#rank(to);
    return Math.max(0, upper - this.#rank(from));
  }

  /** Shows the newest versions of the interval in order until `visitor` answers false. */
  visit(interval: Interval, visitor: (newest: Version) => boolean): void {
    visit(this.#root, interval, visitor);
  }

  #rank(key: Key): number {
    let node = this.#root;
    let rank = 0;
    while (node.kind === "inner") {
      const index = childIndex(node, key);
      for (let i = 0; i < index; i++) rank += childAt(node, i).live;
      node = childAt(node, index);
    }
    const end = itemIndex(node, key);
    for (let i = 0; i < end; i++) rank += liveness(node.items[i]);
    return rank;
  }
}

function liveness(version: Version | undefined): 0 | 1 {
  return isLive(version) ? 1 : 0;
}

/** The leaf tells the nodes above it in `change` how many more of its keys exist. */
function put(node: Node, version: Version, change: { delta: number }): Split {
  if (node.kind === "leaf") return putIntoLeaf(node, version, change);
  const index = childIndex(node, version.key);
  const split = put(childAt(node, index), version, change);
  node.live += change.delta;
  if (split === undefined) return undefined;
  node.children.splice(index + 1, 0, split.right);
  node.bounds.splice(index + 1, 0, split.bound);
  return node.children.length > WIDTH ? splitInner(node) : undefined;
}

function putIntoLeaf(node: Leaf, version: Version, change: { delta: number }): Split {
  const index = itemIndex(node, version.key);
  const item = node.items[index];
  const before = item?.key === version.key ? item : undefined;
  change.delta = liveness(version) - liveness(before);
  node.live += change.delta;
  if (before !== undefined) node.items[index] = version;
  else node.items.splice(index, 0, version);
  return node.items.length > WIDTH ? splitLeaf(node) : undefined;
}

// Keys mostly arrive in order while loading: the right half starts small, so leaves end up full instead of half full.
const KEEP = Math.floor(WIDTH * 0.75);

function splitLeaf(node: Leaf): Split {
  const items = node.items.splice(KEEP);
  const live = items.reduce((sum, item) => sum + liveness(item), 0);
  node.live -= live;
  return { bound: items[0]?.key ?? "", right: { kind: "leaf", live, items } };
}

function splitInner(node: Inner): Split {
  const children = node.children.splice(KEEP);
  const bounds = node.bounds.splice(KEEP);
  const live = children.reduce((sum, child) => sum + child.live, 0);
  node.live -= live;
  return { bound: bounds[0] ?? "", right: { kind: "inner", live, children, bounds } };
}

/** Answers whether the node is empty now. */
function remove(node: Node, key: Key, delta: number): boolean {
  node.live += delta;
  if (node.kind === "leaf") {
    node.items.splice(itemIndex(node, key), 1);
    return node.items.length === 0;
  }
  const index = childIndex(node, key);
  if (remove(childAt(node, index), key, delta)) {
    node.children.splice(index, 1);
    node.bounds.splice(index, 1);
  }
  return node.children.length === 0;
}

function visit(node: Node, interval: Interval, visitor: (newest: Version) => boolean): boolean {
  return node.kind === "leaf" ? visitLeaf(node, interval, visitor) : visitInner(node, interval, visitor);
}

function visitInner(node: Inner, interval: Interval, visitor: (newest: Version) => boolean): boolean {
  const first = childIndex(node, interval.from);
  for (let i = first; i < node.children.length; i++) {
    if (i > first && isBeyond(interval, node.bounds[i] ?? "")) return false;
    if (!visit(childAt(node, i), interval, visitor)) return false;
  }
  return true;
}

function visitLeaf(node: Leaf, interval: Interval, visitor: (newest: Version) => boolean): boolean {
  for (let i = itemIndex(node, interval.from); i < node.items.length; i++) {
    const item = node.items[i];
    if (item === undefined || isBeyond(interval, item.key) || !visitor(item)) return false;
  }
  return true;
}

function isBeyond({ to }: Interval, key: Key): boolean {
  return to !== undefined && key >= to;
}

/** The child that holds `key` or would. */
function childIndex(node: Inner, key: Key): number {
  let low = 1;
  let high = node.bounds.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((node.bounds[middle] ?? "") <= key) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Position of the first item not below `key`. */
function itemIndex(node: Leaf, key: Key): number {
  let low = 0;
  let high = node.items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((node.items[middle]?.key ?? "") < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

function childAt(node: Inner, index: number): Node {
  const child = node.children[index];
  if (child === undefined) throw new Error("Cannot walk key tree: inner node has no such child");
  return child;
}
