import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { WatchRoutes } from "../src/watch-routes.ts";

const prefix = (from: string) => ({
  from,
  to: from.slice(0, -1) + String.fromCharCode(from.charCodeAt(from.length - 1) + 1),
});
const single = (key: string) => ({ from: key, to: `${key}\0` });

describe("WatchRoutes", () => {
  const ranges = [
    { name: "pods", interval: prefix("/registry/pods/") },
    { name: "podsAgain", interval: prefix("/registry/pods/") },
    { name: "namespace", interval: prefix("/registry/pods/a/") },
    { name: "one", interval: single("/registry/pods/a/1") },
    { name: "uneven", interval: { from: "/registry/pods/a/1", to: "/registry/pods/b" } },
    { name: "fromKey", interval: { from: "/registry/pods/b", to: undefined } },
  ];
  const cases = [
    { key: "/registry/pods/a/1", expected: ["namespace", "one", "pods", "podsAgain", "uneven"] },
    { key: "/registry/pods/b/1", expected: ["fromKey", "pods", "podsAgain"] },
    { key: "/registry/podsx", expected: ["fromKey"] },
    { key: "/registry/pod", expected: [] },
  ];

  test("match() finds exactly the ranges that hold the key", () => {
    const routes = new WatchRoutes<string>();
    for (const { name, interval } of ranges) routes.add(interval, name);
    for (const { key, expected } of cases) assert.deepEqual([...routes.match(key)].sort(), expected, key);
  });

  test("delete() takes out one and leaves the others of the same range", () => {
    const routes = new WatchRoutes<string>();
    for (const { name, interval } of ranges) routes.add(interval, name);
    for (const { name, interval } of ranges) if (name !== "podsAgain") routes.delete(interval, name);
    routes.delete(prefix("/registry/pods/"), "never added");
    assert.deepEqual([...routes.match("/registry/pods/a/1")], ["podsAgain"]);
    routes.delete(prefix("/registry/pods/"), "podsAgain");
    assert.deepEqual([...routes.match("/registry/pods/a/1")], []);
  });
});
