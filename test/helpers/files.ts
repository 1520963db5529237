/** Small files for tests: a folder that goes away with the test, and arrays in IDX. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { ExecutionContext } from 'ava'

/** @param files - path below the folder -> content */
export async function folderOf (t: ExecutionContext, files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'fmtl-data-'))
  t.teardown(async () => { await rm(folder, { recursive: true, force: true }) })
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), content)
  }
  return folder
}

export function idx (shape: readonly number[], data: ArrayLike<number>, type = 8): Buffer {
  const head = Buffer.alloc(4 + 4 * shape.length)
  head[2] = type
  head[3] = shape.length
  shape.forEach((size, i) => head.writeUInt32BE(size, 4 + 4 * i))
  return Buffer.concat([head, Uint8Array.from(Array.from(data))])
}
