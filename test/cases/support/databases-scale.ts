/** Whether cases run for as long as their description says, instead of as long as CI can wait. */
export const isFullScale = process.env["K3S_CASES_SCALE"] === "full";
