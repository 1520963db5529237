import { foundationCompliance } from '../compliance/foundation.ts'

await foundationCompliance('cpu', 'eager')
