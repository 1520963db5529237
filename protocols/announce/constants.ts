export const hostsTopic = (consortium: string): string => `fmtl/${consortium}/hosts`
