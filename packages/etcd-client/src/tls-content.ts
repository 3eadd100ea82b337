/** Content of PEM files. */
export interface TlsContent {
  readonly ca: Buffer | null;
  readonly cert: Buffer | null;
  readonly key: Buffer | null;
  readonly skipVerify: boolean;
}
