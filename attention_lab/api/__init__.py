"""The functions of `import attention_lab`, and the results that they return."""
