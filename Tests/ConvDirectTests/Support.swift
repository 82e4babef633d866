import ConvCore
import ConvDirect

/// The engine's own plan: nothing that the core's lowerings would make of the operation.
func nativePlan(_ operation: ConvOperation, _ options: PlanOptions = PlanOptions(threads: 2)) throws
  -> any ConvPlan
{
  let backend = DirectBackend()
  switch operation.pass {
  case .forward: return try backend.forwardPlan(operation, options)
  case .backwardData: return try backend.backwardDataPlan(operation, options)
  case .backwardFilter: return try backend.backwardFilterPlan(operation, options)
  }
}

/// An operation in one format.
func operation(
  _ pass: ConvPass, _ problem: ConvProblem, _ format: MemoryFormat, _ type: ElementType = .float32,
  epilogue: Epilogue = .none
) -> ConvOperation {
  ConvOperation(
    pass, problem, elementType: type, inputFormat: format, outputFormat: format, filterFormat: format,
    epilogue: epilogue)
}
