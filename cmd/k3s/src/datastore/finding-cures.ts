const RESTORE = "Restore a backup. Without one, a server serves the newest row of each key";

/** What an operator can do, by the kind of finding. Sentences without the last full stop. */
export const FINDING_CURES = {
  rows: `${RESTORE}: write the named keys anew, then run k3s datastore compact --retain 0`,
  lostRows: `${RESTORE} that is left: put back what is missing, then run k3s datastore compact --retain 0`,
  marker: "Start a server on it, or restart the one that runs",
  duplicates:
    "A server serves the newest row of each. It removes the others when it starts on a file that kine wrote or has open; else run k3s datastore compact --retain 0",
  database: "Start a server on it: it mends what it can, and says what is left to do",
  leases: "Restart the server: keys of kine get a lease again. Delete the others, or write them anew",
  spans: "Restore a backup, or write a key and run k3s datastore compact --retain 0",
  server: "Check again while nobody writes. If it stays, restore a backup of that server",
} as const;
