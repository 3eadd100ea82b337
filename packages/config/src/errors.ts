import { NodeError } from "@k3s/errors";

/** The settings given cannot work. */
export class ConfigError extends NodeError {
  override readonly name = "ConfigError";

  /** All mistakes at once, each a line that begins with the name of its setting. */
  static invalid(problems: readonly string[], command = "server"): ConfigError {
    const message = `Cannot start with this configuration:\n  ${problems.join("\n  ")}`;
    return new ConfigError("ERR_CONFIG_INVALID", message, {
      hint: `Correct the settings named above; k3s ${command} --help lists them all`,
    });
  }

  static fileAbsent(path: string): ConfigError {
    return new ConfigError("ERR_CONFIG_FILE_ABSENT", `Cannot read config file "${path}": there is no such file`, {
      hint: "Create that file, or correct --config or K3S_CONFIG_FILE, which goes first; without both the default file is read",
    });
  }

  static nodeIdUnwritable(path: string, cause: unknown): ConfigError {
    return new ConfigError("ERR_NODE_ID_UNWRITABLE", `Cannot write the id of this machine to "${path}"`, {
      hint: "Make that folder writable, write eight hex digits into that file yourself, or leave out --with-node-id",
      cause,
    });
  }
}
