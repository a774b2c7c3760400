"""The learning rate of RCKA's paper: it falls by 3 % after each epoch whose loss stalls."""

param_scheduler = dict(_delete_=True, type='mmkd.ALRS', factor=0.97)
