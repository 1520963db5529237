import { backendOn } from '/work/wt-tap/test/helpers/rungs.ts'
import { tapToy } from '/work/wt-tap/test/helpers/tap-toy.ts'
const backend = await backendOn(process.argv[2] as 'wasm')
for (const rounds of [3, 12]) {
  const c = process.cpuUsage()
  const at = performance.now()
  const { losses } = await tapToy(backend, { seed: 1, samples: 40, tilt: .8, rounds, method: {tuneSteps: 10} })
  const u = process.cpuUsage(c)
  console.log(process.argv[2], rounds, losses.federated, ((performance.now() - at) / 1000).toFixed(1) + 's', 'cpu', ((u.user+u.system)/1e6).toFixed(1))
}
