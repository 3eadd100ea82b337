import tseslint from "typescript-eslint";

const TIMERS = ["setTimeout", "setInterval"].map((name) => ({
  name,
  message: "Use @k3s/async: deadlines and waits live there",
}));
const RESTRICTED = [
  { object: "process", property: "exit", message: "Throw instead: only cmd/k3s exits" },
  { object: "process", property: "env", message: "Only cmd/k3s reads the environment; take an options object" },
  { object: "process", property: "argv", message: "Only cmd/k3s reads arguments; take an options object" },
];

const MODULE_STATE = { selector: "Program > VariableDeclaration[kind='let']", message: "No module state" };
const ENDLESS_MKDIR = {
  selector: "CallExpression[callee.name='mkdir'] Property[key.name='recursive']",
  message: "Use makeDirectory() of @k3s/files: Node's own way never ends below /proc",
};

export default tseslint.config(
  { ignores: ["**/node_modules/**", "**/dist/**", "build/tools/**", "**/recorded/**"] },
  {
    files: ["**/*.ts"],
    extends: [...tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: {
        projectService: { defaultProject: "tsconfig.json" },
        tsconfigRootDir: `${import.meta.dirname}/../..`,
      },
    },
    rules: {
      "max-lines": ["error", { max: 400, skipBlankLines: true, skipComments: true }],
      "max-lines-per-function": ["error", { max: 60, skipBlankLines: true, skipComments: true }],
      "max-params": ["error", 3],
      complexity: ["error", 12],
      "no-console": "error",
      "no-restricted-globals": ["error", ...TIMERS],
      "no-restricted-imports": ["error", { paths: [{ name: "node:timers/promises", message: "Use @k3s/async" }] }],
      "no-restricted-properties": ["error", ...RESTRICTED],
      "no-restricted-syntax": ["error", MODULE_STATE],
      "@typescript-eslint/no-unnecessary-condition": "off",
      "@typescript-eslint/no-invalid-void-type": "off",
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      // `await using _lock = …` holds a thing without naming a use of it.
      "@typescript-eslint/no-unused-vars": ["error", { varsIgnorePattern: "^_", argsIgnorePattern: "^_" }],
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
    },
  },
  {
    files: ["packages/*/src/**/*.ts", "cmd/*/src/**/*.ts"],
    ignores: ["packages/testkit/**"],
    rules: { "no-restricted-syntax": ["error", MODULE_STATE, ENDLESS_MKDIR] },
  },
  {
    files: ["packages/async/src/**", "**/test/fixtures/**"],
    rules: { "no-restricted-globals": "off", "no-restricted-imports": "off" },
  },
  {
    files: ["cmd/**/*.ts", "build/**/*.ts", "bench/**/*.ts", "test/**/*.ts"],
    rules: { "no-restricted-properties": "off", "no-console": "off" },
  },
  {
    // A describe() block is one function to the linter; its size says nothing.
    files: ["**/test/**/*.ts", "packages/testkit/**/*.ts"],
    rules: {
      "max-lines-per-function": "off",
      "no-restricted-properties": "off",
      // node:test reports a rejected test itself; its return value is for nesting only.
      "@typescript-eslint/no-floating-promises": [
        "error",
        {
          allowForKnownSafeCalls: [
            { from: "package", name: ["test", "describe", "it", "suite"], package: "node:test" },
          ],
        },
      ],
    },
  },
);
