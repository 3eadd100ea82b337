import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ComponentError } from "./errors.ts";

interface Mend {
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

const REFLECT2 = "vendor/github.com/modern-go/reflect2";

/**
 * Go 1.18 changed reflect.mapiterinit, which the vendored reflect2 links to by name: it now fills an iterator of the
 * caller's instead of returning its own. Without this every map that is encoded as JSON is walked through a wild pointer,
 * and programs crash at random. The iterator gets the size and the pointers of Go 1.19's (src/reflect/value.go, hiter).
 */
const MENDS: readonly Mend[] = [
  {
    file: `${REFLECT2}/unsafe_link.go`,
    from: "func mapiterinit(rtype unsafe.Pointer, m unsafe.Pointer) *hiter\n",
    to: "func mapiterinit(rtype unsafe.Pointer, m unsafe.Pointer, it *hiter)\n",
  },
  {
    file: `${REFLECT2}/unsafe_link.go`,
    from: "\t// rest fields are ignored\n",
    to: "\tpointers [6]unsafe.Pointer\n\tnumbers [4]uintptr\n",
  },
  {
    file: `${REFLECT2}/unsafe_map.go`,
    from: "\treturn &UnsafeMapIterator{\n\t\thiter:      mapiterinit(type2.rtype, *(*unsafe.Pointer)(obj)),\n",
    to: "\tit := &hiter{}\n\tmapiterinit(type2.rtype, *(*unsafe.Pointer)(obj), it)\n\treturn &UnsafeMapIterator{\n\t\thiter: it,\n",
  },
];

/** Makes the source tree of Kubernetes 1.20 fit for the compiler of the same suite. Rejects when the tree is not the one known. */
export async function mendKubernetes(tree: string): Promise<void> {
  for (const { file, from, to } of MENDS) {
    const path = join(tree, file);
    const text = await readFile(path, "utf8").catch(() => "");
    if (!text.includes(from)) throw ComponentError.build("compile Kubernetes", `"${file}" is not as expected`);
    await writeFile(path, text.replace(from, to));
  }
}
