// The demo application is never run; it gives the image something of its own besides packages.
console.log("Hello from the demo image.");
