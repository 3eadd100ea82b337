import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatErrorReference } from "./error-reference.ts";
import { formatFlagReference } from "./flag-reference.ts";

// Run it after a change of a flag or an error: node build/src/docs.ts
const root = join(import.meta.dirname, "../..");
mkdirSync(join(root, "docs"), { recursive: true });
writeFileSync(join(root, "docs/errors.md"), formatErrorReference(root));
writeFileSync(join(root, "docs/flags.md"), formatFlagReference());
