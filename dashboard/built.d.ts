/** What build.ts makes; absent until it has run. */
declare module "*/dashboard/dist/page.js" {
  /** `policy`: the Content-Security-Policy for exactly this `html`. */
  export const page: { html: string; policy: string };
}
