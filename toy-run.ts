import { backendOn } from '/work/wt-tap/test/helpers/rungs.ts'
import { tapToy } from '/work/wt-tap/test/helpers/tap-toy.ts'
const backend = await backendOn((process.env.RUNG ?? 'wasm') as 'wasm')
const method = JSON.parse(process.env.METHOD ?? '{}')
for (let seed = Number(process.env.FROM ?? 1); seed < Number(process.env.FROM ?? 1) + Number(process.env.SEEDS ?? 1); seed++) {
  const at = performance.now()
  const { losses, replaced } = await tapToy(backend, { seed, samples: Number(process.env.N ?? 40), tilt: Number(process.env.TILT ?? .8), method })
  const third = replaced.length / 3
  console.log(seed, JSON.stringify(Object.fromEntries(Object.entries(losses).map(([k, v]) => [k, +v.toFixed(4)]))), replaced.slice(0, third).reduce((a, b) => a + b), replaced.slice(-third).reduce((a, b) => a + b), ((performance.now() - at) / 1000).toFixed(1) + 's')
}
