import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";

/** What the sources say about one error that an operator can meet. */
export interface DocumentedError {
  readonly code: string;
  /** Folder of the package, such as `packages/token`. */
  readonly place: string;
  /** Values that are known at run time only stand in angle brackets. */
  readonly message: string;
  readonly hint: string | undefined;
}

/** The page that lists every code, made from all `errors.ts` below `root`. Throws when two errors have the same code. */
export function formatErrorReference(root: string): string {
  const files = globSync(["packages/*/src/errors.ts", "cmd/*/src/errors.ts"], { cwd: root }).sort();
  const all = files.map((file) => readErrors(file, readFileSync(join(root, file), "utf8")));
  assertUnique(all.flat());
  const sections = all.flatMap((errors) =>
    errors[0] === undefined ? [] : [`## ${errors[0].place}`, ...errors.map(formatError)],
  );
  return `${[INTRODUCTION, ...sections].join("\n\n")}\n`;
}

/** A code that meant two things could not be looked up. */
export function assertUnique(errors: readonly DocumentedError[]): void {
  const places = Map.groupBy(errors, ({ code }) => code);
  for (const [code, [first, second]] of places)
    if (first !== undefined && second !== undefined)
      throw new Error(`Cannot list ${code}: ${first.place} and ${second.place} each make an error with it`);
}

const INTRODUCTION = `# Errors

Every error that an operator can meet, with its code and the way out. Values in \`<angle brackets>\` differ from case to
case. This page is made from the sources by \`build/src/docs.ts\`; a code is never used for anything else again.`;

function formatError({ code, message, hint }: DocumentedError): string {
  return `### ${code}\n\n${escapeText(message)}${hint === undefined ? "" : `\n\n*What to do:* ${escapeText(hint)}`}`;
}

/** Angle brackets and stars would be read as markup. */
function escapeText(text: string): string {
  return text.replace(/[<>*_]/g, (sign) => `\\${sign}`);
}

/** Finds every literal `ERR_…` in the source that an error is made with, with the message and the hint that are made beside it. */
export function readErrors(file: string, text: string): readonly DocumentedError[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const errors: DocumentedError[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isStringLiteral(node) && node.text.startsWith("ERR_") && !isCompared(node)) {
      errors.push({ code: node.text, place: file.replace("/src/errors.ts", ""), ...describe(node) });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return errors;
}

/** `error.code === "ERR_…"` makes no error. */
function isCompared({ parent }: ts.StringLiteral): boolean {
  return ts.isBinaryExpression(parent);
}

function describe(code: ts.StringLiteral): Pick<DocumentedError, "message" | "hint"> {
  const { parent } = code;
  if (ts.isNewExpression(parent) || ts.isCallExpression(parent)) {
    const [, message, options] = parent.arguments ?? [];
    const hint = options === undefined ? undefined : findProperty(options, "hint");
    return { message: render(message), hint: hint === undefined ? undefined : render(hint) };
  }
  const object = parent.parent;
  const hint = findProperty(object, "hint");
  return { message: render(findProperty(object, "message")), hint: hint === undefined ? undefined : render(hint) };
}

function findProperty(node: ts.Node, name: string): ts.Expression | undefined {
  const object = ts.isIdentifier(node) ? declared(node) : node;
  if (object === undefined || !ts.isObjectLiteralExpression(object)) return undefined;
  for (const property of object.properties) {
    if (property.name?.getText() !== name) continue;
    if (ts.isPropertyAssignment(property)) return property.initializer;
    if (ts.isShorthandPropertyAssignment(property)) return property.name;
  }
  return undefined;
}

/** The text of an expression, as far as it is known before the program runs. */
function render(node: ts.Node | undefined): string {
  if (node === undefined) return "<message>";
  if (ts.isStringLiteralLike(node)) return node.text;
  if (ts.isTemplateExpression(node)) {
    return node.head.text + node.templateSpans.map((span) => render(span.expression) + span.literal.text).join("");
  }
  if (ts.isIdentifier(node)) {
    const value = declared(node);
    return value === undefined ? `<${node.text}>` : render(value);
  }
  if (ts.isConditionalExpression(node)) return renderChoice(node);
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken) {
    return render(node.left) + render(node.right);
  }
  if (ts.isBinaryExpression(node)) return render(node.left);
  return `<${lastName(node)}>`;
}

/** The longer branch says more. */
function renderChoice(node: ts.ConditionalExpression): string {
  const branches = [render(node.whenTrue), render(node.whenFalse)];
  return branches.sort((one, other) => other.length - one.length)[0] ?? "";
}

/** `a.b.c` is called c, `f(x.y)` is called y. */
function lastName(node: ts.Node): string {
  if (ts.isPropertyAccessExpression(node)) return node.name.text;
  if (ts.isIdentifier(node)) return node.text;
  if (ts.isCallExpression(node)) {
    const [first] = node.arguments;
    if (first !== undefined && !ts.isStringLiteralLike(first) && !ts.isNumericLiteral(first)) return lastName(first);
    return ts.isPropertyAccessExpression(node.expression)
      ? lastName(node.expression.expression)
      : node.expression.getText();
  }
  return "value";
}

/** The initializer of the constant that an identifier means; undefined for parameters. */
function declared(identifier: ts.Identifier): ts.Expression | undefined {
  for (let scope: ts.Node = identifier.parent; ; scope = scope.parent) {
    if (ts.isBlock(scope) || ts.isSourceFile(scope)) {
      const found = scope.statements
        .filter(ts.isVariableStatement)
        .flatMap((it) => [...it.declarationList.declarations]);
      const value = found.find(({ name }) => ts.isIdentifier(name) && name.text === identifier.text)?.initializer;
      if (value !== undefined) return value;
    }
    if (ts.isSourceFile(scope)) return undefined;
  }
}
