/** Buffers of a message that may be moved to the other thread: each ArrayBuffer that a Float32Array in it fills alone. */
export function transferables (value: unknown): ArrayBuffer[] {
  const found = new Set<ArrayBuffer>()
  const visit = (entry: unknown): void => {
    if (entry instanceof Float32Array) {
      if (entry.buffer instanceof ArrayBuffer && entry.byteLength === entry.buffer.byteLength && entry.byteLength > 0) found.add(entry.buffer)
    } else if (Array.isArray(entry)) {
      entry.forEach(visit)
    } else if (entry !== null && typeof entry === 'object' && Object.getPrototypeOf(entry) === Object.prototype) {
      Object.values(entry).forEach(visit)
    }
  }
  visit(value)
  return [...found]
}
