import warnings; warnings.simplefilter('error')
from contract import *
import traceback, collections
bad=collections.Counter()
for predictor in PREDICTORS:
  for density in DENSITIES:
    for coder in CODERS:
      for name in SIGNALS:
        for frames,lanes in ((700,1),(200,3)):
          codes=signal(name,frames,DENSITIES[density][0])
          try:
            s=encode(codes,predictor,coder,density,lanes)
            g=decode(s,frames,predictor,coder,density,lanes)
            assert (g==codes).all(), 'mismatch'
            for k in range(2):
              g=decode(damage(s,k+frames),frames,predictor,coder,density,lanes)
              assert g.min()>=0 and g.max()<DENSITIES[density][0],'range'
          except BaseException as e:
            tb=traceback.extract_tb(e.__traceback__)[-1]
            key=(predictor,density,coder,name,f'{tb.filename.split("/")[-1]}:{tb.lineno} {tb.line}',str(e)[:60])
            bad[key]+=1
for k,v in bad.items(): print(v,k)
print('done')
