/** A sum that several parts of the server keep together. */
export class ByteCount {
  bytes = 0;
}
