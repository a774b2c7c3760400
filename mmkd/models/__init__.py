"""Models: built from configs of any OpenMMLab package, compiled, and run on several views."""
