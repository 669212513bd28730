"""How good a checkpoint is in Korean and English, measured with lm-eval."""
