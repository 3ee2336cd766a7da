"use strict";

window.ui = SwaggerUIBundle({
  url: "/api/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis],
  // Nothing leaves this machine: no validator badge, and requests only to this server.
  validatorUrl: null,
  persistAuthorization: false,
});
