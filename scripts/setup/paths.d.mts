/** Types of paths.mjs, for the TypeScript that uses it; setup itself runs on a Node too old for TypeScript. */
export const ROOT: string
export const MODULES: string
export const PLATFORM: string
export function packageDir (name: string): string | undefined
export function bundledNode (): string | undefined
export function runsTypeScript (): boolean
export function which (command: string): string | undefined
export function cacheDir (): string
