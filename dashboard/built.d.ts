/** What build.ts makes; not there before it ran. */
declare module "*/dashboard/dist/page.js" {
  /** `policy`: the Content-Security-Policy that this very `html` is served with. */
  export const page: { html: string; policy: string };
}
