import type { Weakness } from "@k3s/datastore-sql";

/** Values by the names of settings. */
export type DurabilitySettings = ReadonlyMap<string, string>;

const LOSSES: Readonly<Record<string, Omit<Weakness, "setting">>> = {
  fsync: {
    loss: "a crash of its machine takes acknowledged writes and can damage the tables",
    cure: "Run ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()",
  },
  full_page_writes: {
    loss: "a crash of its machine can damage pages, unless the file system writes whole ones, as ZFS does",
    cure: "Run ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf()",
  },
  synchronous_commit: {
    loss: "a crash takes the last acknowledged writes where a pooler hands connections around, as what our sessions set is lost there",
    cure: "Run ALTER ROLE CURRENT_USER SET synchronous_commit = on as the user of the endpoint, and RECONNECT in the pooler",
  },
};

/** Asks for what {@link parseDurability} reads: what a session has that sets nothing. Settings that a relative of PostgreSQL lacks are left out. */
export const DURABILITY = `(SELECT string_agg(name || '=' || reset_val, ',') FROM pg_settings
  WHERE name IN (${Object.keys(LOSSES)
    .map((name) => `'${name}'`)
    .join()}))`;

export function parseDurability(text: unknown): DurabilitySettings {
  const settings = typeof text === "string" ? text.split(",") : [];
  return new Map(settings.map((setting) => [setting.replace(/=.*/, ""), setting.replace(/.*=/, "")]));
}

interface Place {
  readonly durability: DurabilitySettings;
  /** Whether what a session sets holds for all that it runs. */
  readonly isDirect: boolean;
}

/** By what the server can lose acknowledged writes. `synchronous_commit` is switched on by our own sessions. */
export function weaknessesOf({ durability, isDirect }: Place): readonly Weakness[] {
  return [...durability].flatMap(([name, value]) => {
    const told = LOSSES[name];
    if (told === undefined || value !== "off" || (name === "synchronous_commit" && isDirect)) return [];
    return [{ setting: `${name}=off`, ...told }];
  });
}
