export const PROTOCOL = '/fmtl/membership/1.0.0'
export function membersTopic (consortium: string): string { return `fmtl/${consortium}/members` }
