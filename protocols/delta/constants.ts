export const deltaTopic = (consortium: string, model: string): string => `fmtl/${consortium}/delta/${model}`
