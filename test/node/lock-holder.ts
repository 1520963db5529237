/** Takes the lock of a home at a given moment and keeps it until its input ends; says which way it went. */
import { lockHome } from '../../node/store/lock.ts'

const [home = '', at = '0'] = process.argv.slice(2)
while (Date.now() < Number(at)); // as exactly together with others as processes can
try {
  const { unclean } = await lockHome(home)
  process.stdout.write(unclean ? 'took over\n' : 'holds\n')
} catch (err) {
  process.stdout.write(`${(err as { code?: string }).code ?? String(err)}\n`)
}
process.stdin.resume()
