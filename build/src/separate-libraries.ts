import { join } from "node:path";
import type { Plugin } from "esbuild";

/**
 * Libraries that only some databases need, together two thirds as large as everything else: their text would stay in the memory of every node.
 * They share modules among themselves, so they are one script. Each with the package of ours that depends on it.
 */
const LIBRARIES: ReadonlyMap<string, string> = new Map([
  ["@nats-io/jetstream", "datastore-nats"],
  ["@nats-io/transport-node", "datastore-nats"],
  ["mysql2", "datastore-mysql"],
  ["pg", "datastore-postgres"],
]);
/** Name of that script among the assets of the executable. */
export const LIBRARIES_ASSET = "libraries.cjs";

/** Source of that script: each library is loaded when it is asked for. */
export const librariesSource = [...LIBRARIES.keys()]
  .map((name) => `exports["${name}"] = () => require("${name}");`)
  .join("\n");

const LOADER = `
const libraries = {};
const text = require("node:sea").getAsset("${LIBRARIES_ASSET}", "utf8");
require("node:vm").compileFunction(text, ["exports", "require", "module"])(libraries, require, { exports: libraries });
module.exports = libraries;`;

/** Leaves those libraries out of a bundle: whoever imports one gets it from the asset. */
export const separateLibraries: Plugin = {
  name: "separate-libraries",
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /^[@a-z]/ }, ({ path }) => (LIBRARIES.has(path) ? { path, namespace: "library" } : undefined));
    onResolve({ filter: /^k3s:libraries$/ }, ({ path }) => ({ path, namespace: "loader" }));
    onLoad({ filter: /.*/, namespace: "library" }, ({ path }) => ({
      contents: `module.exports = require("k3s:libraries")["${path}"]();`,
    }));
    onLoad({ filter: /.*/, namespace: "loader" }, () => ({ contents: LOADER }));
  },
};

/** Finds the libraries of that script below `root`: none of them belongs to the build. */
export function libraryOwners(root: string): Plugin {
  return {
    name: "library-owners",
    setup: ({ onResolve, resolve }) => {
      onResolve({ filter: /^[@a-z]/, namespace: "file" }, async ({ path, kind, pluginData }) => {
        const owner = LIBRARIES.get(path);
        if (owner === undefined || pluginData === "found") return undefined;
        return await resolve(path, { kind, resolveDir: join(root, "packages", owner), pluginData: "found" });
      });
    },
  };
}
