/**
 * Takes chosen members out of a zip file (a Python wheel is one), so that no unpacker need be installed. Reads the central
 * directory at the end, then streams each member. No zip64: every wheel we take is below 4 GiB.
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, open } from 'node:fs/promises'
import { dirname, join, normalize, sep } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createInflateRaw } from 'node:zlib'

const END_SIGNATURE = 0x06054b50
const MEMBER_SIGNATURE = 0x02014b50
/** The end record: 22 bytes and a comment of at most 65 535. */
const LONGEST_END = 22 + 65_535

/**
 * @param {string} file
 * @param {(name: string) => string | undefined} target - path below `outDir`, or undefined to leave the member out
 * @param {string} outDir
 */
export async function unzip (file, target, outDir) {
  const handle = await open(file)
  try {
    for (const member of await members(handle)) {
      const path = member.name.endsWith('/') ? undefined : target(member.name)
      if (path == null) continue
      if (normalize(path).startsWith(`..${sep}`)) throw new Error(`${member.name} leads out of the archive`)
      const out = join(outDir, path)
      await mkdir(dirname(out), { recursive: true })
      // The member's own header repeats the name, and its extra field may differ in length from the directory's.
      const header = await readAt(handle, member.headerStart, 30)
      const start = member.headerStart + 30 + header.readUInt16LE(26) + header.readUInt16LE(28)
      const packed = member.packedBytes === 0 ? Readable.from([]) : createReadStream(file, { start, end: start + member.packedBytes - 1 })
      await pipeline(packed, member.deflated ? createInflateRaw() : new PassThrough(), createWriteStream(out))
    }
  } finally {
    await handle.close()
  }
}

async function members (handle) {
  const { size } = await handle.stat()
  const tailStart = Math.max(0, size - LONGEST_END)
  const tail = await readAt(handle, tailStart, size - tailStart)
  let end = tail.length - 22
  while (end >= 0 && tail.readUInt32LE(end) !== END_SIGNATURE) end--
  if (end < 0) throw new Error('not a zip file, or cut off')
  const directory = await readAt(handle, tail.readUInt32LE(end + 16), tail.readUInt32LE(end + 12))
  const found = []
  for (let at = 0; at < directory.length && directory.readUInt32LE(at) === MEMBER_SIGNATURE;) {
    const nameBytes = directory.readUInt16LE(at + 28)
    found.push({
      name: directory.toString('utf8', at + 46, at + 46 + nameBytes),
      headerStart: directory.readUInt32LE(at + 42),
      packedBytes: directory.readUInt32LE(at + 20),
      deflated: directory.readUInt16LE(at + 10) === 8
    })
    at += 46 + nameBytes + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32)
  }
  return found
}

async function readAt (handle, position, length) {
  return (await handle.read(Buffer.alloc(length), 0, length, position)).buffer
}
