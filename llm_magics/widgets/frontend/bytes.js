/** The bytes of a message's buffer, which comes as a DataView or an ArrayBuffer. */
export function bytes(buffer) {
  return buffer instanceof ArrayBuffer ? new Uint8Array(buffer) : new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}
