export const PROTOCOL = '/fmtl/knock/1.0.0'
