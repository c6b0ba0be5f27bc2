/* The pictures of the page's circuit. */

const { pin, openTab } = stage(byId("circuit"), data, { area: (name) => showArea(name) });
